#include "lighthouse/data/json.h"

namespace lighthouse {

bool nests_deeply(std::string_view json) {
  constexpr int kDeepest = 100;
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < json.size() && depth <= kDeepest; ++i) {
    const char c = json[i];
    if (c == '"') quoted = !quoted;
    if (quoted) {
      i += c == '\\' ? 1 : 0;  // skip the escaped character
    } else {
      depth += (c == '[' || c == '{') - (c == ']' || c == '}');
    }
  }
  return depth > kDeepest;
}

}  // namespace lighthouse
