// The order of a pass's hooks.
#include <string>

#include "tiny_llama.h"

namespace lighthouse {
namespace {

/// Hooks that append "name hook layer" to `calls`.
LayerHooks recording(std::vector<std::string>& calls, const std::string& name) {
  const auto note = [&calls, name](const char* hook) {
    return [&calls, name, hook](int64_t layer) { calls.push_back(name + hook + std::to_string(layer)); };
  };
  return {.weights_needed = note(" needs "),
          .weights_done = note(" done "),
          .qkv_ready =
              [note](int64_t layer, const Tensor& qkv) {
                EXPECT_EQ(qkv.shape(), (Shape{1, 64, 8 * 8}));
                note(" qkv ")(layer);
              },
          .gradients_ready = note(" ready ")};
}

TEST(LayerHooks, FollowAPassThroughItsLayers) {
  TinyLlama tiny(tiny_config(), dense_pass(1, 64));
  std::vector<std::string> calls;
  tiny.model.add_hooks(recording(calls, "a"));
  tiny.forward_backward();
  EXPECT_EQ(calls, (std::vector<std::string>{"a needs 0", "a qkv 0", "a done 0", "a needs 1", "a qkv 1", "a done 1",
                                             "a ready 2", "a needs 1", "a done 1", "a ready 1", "a needs 0", "a done 0",
                                             "a ready 0", "a ready -1"}));
}

TEST(LayerHooks, AreCalledInTheOrderInWhichTheyWereAdded) {
  TinyLlama tiny(tiny_config(), dense_pass(1, 64));
  std::vector<std::string> calls;
  const auto a = tiny.model.add_hooks(recording(calls, "a"));
  const auto b = tiny.model.add_hooks(recording(calls, "b"));
  tiny.model.add_hooks({});
  tiny.evaluate();
  ASSERT_EQ(calls.size(), 12U);
  EXPECT_EQ(std::vector<std::string>(calls.begin(), calls.begin() + 4),
            (std::vector<std::string>{"a needs 0", "b needs 0", "a qkv 0", "b qkv 0"}));
  tiny.model.remove_hooks(a);
  calls.clear();
  tiny.evaluate();
  EXPECT_EQ(calls, (std::vector<std::string>{"b needs 0", "b qkv 0", "b done 0", "b needs 1", "b qkv 1", "b done 1"}));
  tiny.model.remove_hooks(b);
  calls.clear();
  tiny.evaluate();
  EXPECT_TRUE(calls.empty());
}

TEST(LayerHooks, DoNotAnnounceATiedOutputLayerBeforeTheEmbedding) {
  ModelConfig config = tiny_config();
  config.tie_word_embeddings = true;
  TinyLlama tiny(config, dense_pass(1, 64));
  std::vector<int64_t> ready;
  tiny.model.add_hooks({.gradients_ready = [&](int64_t layer) { ready.push_back(layer); }});
  tiny.forward_backward();
  EXPECT_EQ(ready, (std::vector<int64_t>{1, 0, -1}));
}

}  // namespace
}  // namespace lighthouse
