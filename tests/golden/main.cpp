// lighthouse-golden FILE...: runs golden cases and compares the outputs. Exit codes: 0 all pass, 1 a difference exceeds
// its limit, 2 an unusable file or option.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "golden_case.h"
#include "lighthouse/core/error.h"
#include "lighthouse/ops/blas_core.h"
#ifdef LIGHTHOUSE_HAS_CUDA
#include "lighthouse/kernels/cuda.h"
#endif

namespace lighthouse::golden {
namespace {

struct Options {
  std::vector<std::string> files;
  std::string device = "cpu";
  std::string dtype = "float32";
  RunOptions run;
};

std::vector<Check> run_case(const std::string& path, const RunOptions& options, Backend& backend) {
  const SafetensorsFile file(path);
  const Json settings = settings_of(file, path);
  try {
    if (settings.contains("hugging_face") || settings.contains("checkpoint")) {
      return run_hugging_face_case(file, settings, path, backend);
    }
    if (settings.contains("vocab_size")) return run_model_case(file, settings, backend);
    return run_attention_case(file, settings, options, backend);
  } catch (const Json::exception& error) {
    throw InputError(fmt::format("{}: the metadata lacks a setting: {}", path, error.what()));
  }
}

/// Prints a line for each check. Returns whether all passed.
bool report(const std::string& path, const std::vector<Check>& checks) {
  bool all = true;
  fmt::print("{}\n", path);
  for (const Check& check : checks) {
    fmt::print("  {:<60} {:10.2e}  limit {:.0e}  {}\n", check.name, check.error, check.limit,
               check.passed() ? "ok" : "OFF");
    all = all && check.passed();
  }
  fmt::print("  {}\n", all ? "passed" : "FAILED");
  return all;
}

std::unique_ptr<Backend> backend_of(const Options& options) {
  const DType dtype = options.dtype == "bfloat16" ? DType::kBFloat16 : DType::kFloat32;
#ifdef LIGHTHOUSE_HAS_CUDA
  if (options.device == "cuda") return make_cuda_backend({.dtype = dtype, .deterministic = true});
#endif
  if (options.device == "cpu" && dtype == DType::kFloat32) return make_cpu_backend();
  throw InputError(fmt::format("this build does not support device {} with dtype {}", options.device, options.dtype));
}

int run(const Options& options) {
  const auto backend = backend_of(options);
  bool all = true;
  for (const std::string& file : options.files) {
    const bool passed = report(file, run_case(file, options.run, *backend));
    all = all && passed;
  }
  return all ? 0 : 1;
}

}  // namespace
}  // namespace lighthouse::golden

int main(int argc, char** argv) {
  lighthouse::use_fast_blas_kernels(argv);
  CLI::App program("Runs golden cases and compares", "lighthouse-golden");
  lighthouse::golden::Options options;
  program.add_option("FILE", options.files, "Golden files")->required();
  program.add_option("--device", options.device, "cpu or cuda")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
  program.add_option("--dtype", options.dtype, "float32 or bfloat16")
      ->check(CLI::IsMember({"float32", "bfloat16"}))
      ->capture_default_str();
  program.add_flag("--indices-from-file", options.run.indices_from_file, "Attention: attend over the file's selection");
  try {
    program.parse(argc, argv);
    return lighthouse::golden::run(options);
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {  // a file with missing or wrong contents
    fmt::print(stderr, "{}\n", error.what());
    return 2;
  }
}
