#include <gtest/gtest.h>

#include "lighthouse/config/load.h"
#include "lighthouse/core/file.h"

namespace lighthouse {
namespace {

TEST(ConfigReference, EqualsDocsConfigMd) {
  const std::string docs = read_file(LIGHTHOUSE_SOURCE_DIR "/docs/config.md");
  EXPECT_EQ(docs, config_reference()) << "run: build/bin/lighthouse config --reference > docs/config.md";
}

}  // namespace
}  // namespace lighthouse
