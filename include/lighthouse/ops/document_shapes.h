// What find_documents is given, checked in one place for all backends.
#pragma once

#include "lighthouse/ops/backend.h"

namespace lighthouse {

/// Throws std::logic_error unless the arguments of Backend::find_documents fit together.
void require_documents(const Documents& documents, const Tensor& tokens);

}  // namespace lighthouse
