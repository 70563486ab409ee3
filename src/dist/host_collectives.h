// Collectives on host memory by MPI's non-blocking calls, so that a dead rank is noticed while they run.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "lighthouse/core/tensor.h"
#include "mpi_check.h"

namespace lighthouse::dist {

/// Called again and again while a collective runs, with the time since its start. Throws to abandon it.
using Watch = std::function<void(std::chrono::steady_clock::duration waited)>;

/// One communicator of MPI's. Its functions are called by the thread that calls MPI.
class HostCollectives {
 public:
  /// Takes over `comm`, from duplicate_world() or split().
  HostCollectives(MPI_Comm comm, Watch watch);
  ~HostCollectives();
  HostCollectives(const HostCollectives&) = delete;
  HostCollectives& operator=(const HostCollectives&) = delete;

  static MPI_Comm duplicate_world();
  MPI_Comm split(int color, int key) const;

  int rank() const { return rank_; }
  int size() const { return size_; }

  // As in Communicator, but each blocks until it has finished.
  void all_reduce(const Tensor& x);
  void reduce_scatter(const Tensor& x);
  void all_gather(const Tensor& x);
  void all_to_all(const Tensor& out, const Tensor& in);
  void broadcast(const Tensor& x, int root);

 private:
  void wait(MPI_Request request);
  /// shard = the sum of all ranks' versions of it, in received_.
  template <typename T>
  void sum_into(T* shard, int64_t numel) const;

  Watch watch_;
  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0;
  int size_ = 1;
  std::vector<std::byte> received_;
};

}  // namespace lighthouse::dist
