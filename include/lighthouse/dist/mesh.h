// Ranks as a grid of data x context.
#pragma once

#include <stdexcept>

namespace lighthouse {

/// `context` consecutive ranks work on the same sequences, each on a part of the tokens; different groups of them work
/// on different sequences.
class Mesh {
 public:
  Mesh() = default;
  /// Throws std::logic_error unless context divides size and rank is below size.
  Mesh(int rank, int size, int context = 1) : rank_(rank), size_(size), context_(context) {
    if (context < 1 || size % context != 0 || rank < 0 || rank >= size) throw std::logic_error("not a mesh of ranks");
  }

  int rank() const { return rank_; }
  int size() const { return size_; }
  int data_rank() const { return rank_ / context_; }
  int data_size() const { return size_ / context_; }
  int context_rank() const { return rank_ % context_; }
  int context_size() const { return context_; }

 private:
  int rank_ = 0;
  int size_ = 1;
  int context_ = 1;
};

}  // namespace lighthouse
