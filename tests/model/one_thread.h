// Tests of small models run in one thread: several threads would mostly wait for each other. The number of threads
// changes no bit (llama_pass_test.cpp).
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
