// lighthouse-golden: compares outputs with a file of another program.
#include <cstring>
#include <nlohmann/json.hpp>

#include "workspace.h"

namespace lighthouse::test {
namespace {

using Golden = Workspace;

std::string case_file(const char* name) {
  return std::string(LIGHTHOUSE_SOURCE_DIR) + "/tests/golden/cases/" + name;
}

constexpr const char* kAttention = "prefix_n2304_l3_p3_tile16.safetensors";

/// The offset of a tensor's bytes in the file.
size_t place_of(const std::string& bytes, const std::string& tensor) {
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof(length));
  const auto header = nlohmann::json::parse(bytes.substr(8, length));
  return 8 + length + header.at(tensor).at("data_offsets").at(0).get<size_t>();
}

TEST_F(Golden, PassesEqualOutputs) {
  const Outcome outcome = golden({case_file(kAttention)});
  expect_done(outcome);
  for (const char* word : {"out", "indices", "dq", "ok", "passed"}) {
    EXPECT_NE(outcome.out.find(word), std::string::npos) << word << " in\n" << outcome.out;
  }
  EXPECT_EQ(outcome.out.find("OFF"), std::string::npos) << outcome.out;
}

TEST_F(Golden, FindsAWrongTensor) {
  const std::string sound = read_text(case_file(kAttention));
  for (const char* tensor : {"out", "dq", "dk", "dv", "indices"}) {
    std::string bytes = sound;
    const size_t at_place = place_of(bytes, tensor) + (std::string(tensor) == "indices" ? 0 : 4 * 1000 + 3);
    bytes[at_place] =
        static_cast<char>(bytes[at_place] ^ 1);  // changes an index by one, or a number by a factor of four
    write_text(at("off.safetensors"), bytes);
    const Outcome outcome = golden({path("off.safetensors"), case_file(kAttention)});
    EXPECT_EQ(outcome.exit_code, 1) << outcome.out << outcome.err;
    EXPECT_NE(outcome.out.find("OFF"), std::string::npos) << outcome.out;
    EXPECT_NE(outcome.out.find("FAILED"), std::string::npos) << outcome.out;
    EXPECT_NE(outcome.out.find("passed"), std::string::npos) << "the second file\n" << outcome.out;
  }
}

TEST_F(Golden, FindsAWrongModel) {
  const char* model = "llama_dense_gqa.safetensors";
  std::string bytes = read_text(case_file(model));
  const size_t place = place_of(bytes, "grad.lm_head.weight") + 3;
  bytes[place] = static_cast<char>(bytes[place] ^ 0x40);  // makes a small number huge
  write_text(at(model), bytes);
  const Outcome outcome = golden({path(model)});
  EXPECT_EQ(outcome.exit_code, 1) << outcome.out << outcome.err;
  EXPECT_NE(outcome.out.find("OFF"), std::string::npos) << outcome.out;
}

TEST_F(Golden, RefusesOtherFiles) {
  write_text(at("text.txt"), sample_text(3000));
  expect_refusal(golden({path("text.txt")}), {path("text.txt")});
  expect_refusal(golden({path("none.safetensors")}), {path("none.safetensors"), "No such file"});
  write_text(at("cut.safetensors"), read_text(case_file(kAttention)).substr(0, 100000));
  expect_refusal(golden({path("cut.safetensors")}), {path("cut.safetensors")});
  write_data();
  expect_done(train("run"));
  const std::string weights = (checkpoint("run", 10) / "model.safetensors").string();
  expect_refusal(golden({weights}), {weights, "not a golden file"});
  expect_refusal(golden({}), {"FILE is required"});
  expect_refusal(golden({case_file(kAttention), "--dtype", "bfloat16"}),
                 {"cpu", "bfloat16", "this build does not support"});
}

}  // namespace
}  // namespace lighthouse::test
