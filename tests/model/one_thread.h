// Models this small are computed by one thread: several would mostly wait for one another, the more so on a busy
// machine. Their number changes no bit (llama_pass_test.cpp).
#pragma once

#include <gtest/gtest.h>
#include <omp.h>

namespace lighthouse {

class OneThread : public testing::Environment {
 public:
  void SetUp() override { omp_set_num_threads(1); }
};

inline testing::Environment* const one_thread = testing::AddGlobalTestEnvironment(new OneThread);

}  // namespace lighthouse
