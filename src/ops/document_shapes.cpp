#include "lighthouse/ops/document_shapes.h"

#include "lighthouse/ops/check.h"

namespace lighthouse {

void require_documents(const Documents& documents, const Tensor& tokens) {
  const auto& [starts, bounds, count] = documents;
  require(tokens.rank() == 2 && have_shape(tokens.shape(), starts) && have_shape({tokens.numel() + 2}, bounds) &&
              contiguous(starts, bounds, tokens),
          "find_documents", {&starts, &bounds, &tokens});
}

}  // namespace lighthouse
