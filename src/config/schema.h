// Every key of a config: its name, type, range and meaning, in one place. To add a key, add a member to its section
// (run_config.h) and one line here; reading, writing, comparing and the reference follow.
#pragma once

#include "field_visitor.h"
#include "lighthouse/config/run_config.h"

namespace lighthouse {

/// Visits all fields of `config` in the order in which they are written.
void visit_fields(RunConfig& config, FieldVisitor& visitor);

}  // namespace lighthouse
