# Finds the libraries that lighthouse links. All are packages of the system; nothing is downloaded. docs/dependencies.md
# gives the reason for each; scripts/setup.sh installs them.
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
find_path(ASIO_INCLUDE_DIR asio.hpp REQUIRED)

# Uniform target names; distributions' versions of the libraries use different ones.
add_library(lighthouse_yaml_cpp INTERFACE)
target_link_libraries(lighthouse_yaml_cpp INTERFACE $<IF:$<TARGET_EXISTS:yaml-cpp::yaml-cpp>,yaml-cpp::yaml-cpp,yaml-cpp>)
add_library(lighthouse::yaml_cpp ALIAS lighthouse_yaml_cpp)
add_library(lighthouse::xxhash ALIAS PkgConfig::xxhash)
add_library(lighthouse::openblas ALIAS PkgConfig::openblas)

# Header-only Asio without Boost, compiled in each source that includes it.
add_library(lighthouse_asio INTERFACE)
target_include_directories(lighthouse_asio SYSTEM INTERFACE ${ASIO_INCLUDE_DIR})
target_compile_definitions(lighthouse_asio INTERFACE ASIO_STANDALONE ASIO_NO_DEPRECATED)
target_link_libraries(lighthouse_asio INTERFACE Threads::Threads)
add_library(lighthouse::asio ALIAS lighthouse_asio)

# MPI, for ranks on CPUs under mpirun, and for GPUs where NCCL does not work. LIGHTHOUSE_MPI: AUTO uses MPI if found, ON
# requires it, OFF ignores it.
set(LIGHTHOUSE_MPI AUTO CACHE STRING "Build with MPI: AUTO, ON or OFF")
set_property(CACHE LIGHTHOUSE_MPI PROPERTY STRINGS AUTO ON OFF)
set(LIGHTHOUSE_HAS_MPI OFF)
if(LIGHTHOUSE_MPI)
  # lighthouse uses MPI's C interface, so do not look for the C++ one.
  enable_language(C)
  set(MPI_CXX_SKIP_MPICXX TRUE)
  find_package(MPI QUIET COMPONENTS C)
  if(MPI_C_FOUND)
    set(LIGHTHOUSE_HAS_MPI ON)
    message(STATUS "MPI ${MPI_C_VERSION}: several ranks with mpirun")
  elseif(LIGHTHOUSE_MPI STREQUAL "ON")
    message(FATAL_ERROR "LIGHTHOUSE_MPI is ON, but MPI was not found (install libopenmpi-dev and openmpi-bin)")
  else()
    message(STATUS "MPI was not found: one process, or several GPUs with NCCL (install libopenmpi-dev and openmpi-bin for MPI)")
  endif()
endif()
