#include "lighthouse/model/feed_forward/feed_forward.h"

#include "lighthouse/model/feed_forward/swiglu.h"

namespace lighthouse {

std::unique_ptr<FeedForward> make_feed_forward(const FeedForwardSettings& settings, const Linear& linear,
                                               Backend& backend) {
  return std::make_unique<SwigluFeedForward>(settings, linear, backend);
}

}  // namespace lighthouse
