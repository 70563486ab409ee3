// Collectives on host memory, by MPI's non-blocking calls, watched while they run.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "lighthouse/core/tensor.h"
#include "mpi_check.h"

namespace lighthouse::dist {

/// Called while a collective is waited for, with how long that has been; throws to give up.
using Watch = std::function<void(std::chrono::steady_clock::duration waited)>;

class HostCollectives {
 public:
  explicit HostCollectives(Watch watch);
  ~HostCollectives();
  HostCollectives(const HostCollectives&) = delete;
  HostCollectives& operator=(const HostCollectives&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }

  // As in Communicator, in host memory; each waits for its end.
  void all_reduce(const Tensor& x);
  void reduce_scatter(const Tensor& x);
  void all_gather(const Tensor& x);
  void all_to_all(const Tensor& out, const Tensor& in);
  void broadcast(const Tensor& x, int root);

 private:
  void wait(MPI_Request request);
  template <typename T>
  void sum_into(T* piece, int64_t numel) const;

  Watch watch_;
  MPI_Comm world_ = MPI_COMM_NULL;
  int rank_ = 0;
  int size_ = 1;
  std::vector<std::byte> received_;  // every rank's version of this one's piece
};

}  // namespace lighthouse::dist
