# Finds the libraries that lighthouse is built on: the system's packages, nothing downloaded. docs/dependencies.md says
# why each one; scripts/setup.sh installs them.
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(CLI11 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(openblas REQUIRED IMPORTED_TARGET openblas)

# One spelling of each name, whatever the distribution's version calls its target.
add_library(lighthouse_yaml_cpp INTERFACE)
target_link_libraries(lighthouse_yaml_cpp INTERFACE $<IF:$<TARGET_EXISTS:yaml-cpp::yaml-cpp>,yaml-cpp::yaml-cpp,yaml-cpp>)
add_library(lighthouse::yaml_cpp ALIAS lighthouse_yaml_cpp)
add_library(lighthouse::xxhash ALIAS PkgConfig::xxhash)
add_library(lighthouse::openblas ALIAS PkgConfig::openblas)
