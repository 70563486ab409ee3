// MPI's errors as exceptions.
#pragma once

#include <fmt/format.h>
#include <mpi.h>

#include <array>

#include "lighthouse/core/error.h"

namespace lighthouse::dist {

/// Throws RunError if `status` is an error.
inline void check_mpi(int status, const char* call) {
  if (status == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(status, text.data(), &length);
  throw RunError(fmt::format("{} failed: {}", call, text.data()));
}

}  // namespace lighthouse::dist

#define LIGHTHOUSE_MPI(call) ::lighthouse::dist::check_mpi((call), #call)
