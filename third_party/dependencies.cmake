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
find_path(ASIO_INCLUDE_DIR asio.hpp REQUIRED)

# One spelling of each name, whatever the distribution's version calls its target.
add_library(lighthouse_yaml_cpp INTERFACE)
target_link_libraries(lighthouse_yaml_cpp INTERFACE $<IF:$<TARGET_EXISTS:yaml-cpp::yaml-cpp>,yaml-cpp::yaml-cpp,yaml-cpp>)
add_library(lighthouse::yaml_cpp ALIAS lighthouse_yaml_cpp)
add_library(lighthouse::xxhash ALIAS PkgConfig::xxhash)
add_library(lighthouse::openblas ALIAS PkgConfig::openblas)

# Headers alone. Without Boost, and compiled in each source that includes them.
add_library(lighthouse_asio INTERFACE)
target_include_directories(lighthouse_asio SYSTEM INTERFACE ${ASIO_INCLUDE_DIR})
target_compile_definitions(lighthouse_asio INTERFACE ASIO_STANDALONE ASIO_NO_DEPRECATED)
target_link_libraries(lighthouse_asio INTERFACE Threads::Threads)
add_library(lighthouse::asio ALIAS lighthouse_asio)

# For training with many processes on CPUs, under mpirun, and on several GPUs where NCCL does not serve. Its C interface;
# LIGHTHOUSE_MPI: AUTO takes it where it is, ON wants it, OFF leaves it.
set(LIGHTHOUSE_MPI AUTO CACHE STRING "Build with MPI: AUTO, ON or OFF")
set_property(CACHE LIGHTHOUSE_MPI PROPERTY STRINGS AUTO ON OFF)
set(LIGHTHOUSE_HAS_MPI OFF)
if(LIGHTHOUSE_MPI)
  # MPI's own flags for C compilers; its program is not asked for C++.
  enable_language(C)
  set(MPI_CXX_SKIP_MPICXX TRUE)
  find_package(MPI QUIET COMPONENTS C)
  if(MPI_C_FOUND)
    set(LIGHTHOUSE_HAS_MPI ON)
    message(STATUS "MPI ${MPI_C_VERSION}: many processes by mpirun")
  elseif(LIGHTHOUSE_MPI STREQUAL "ON")
    message(FATAL_ERROR "LIGHTHOUSE_MPI is ON and no MPI was found (packages libopenmpi-dev and openmpi-bin)")
  else()
    message(STATUS "No MPI was found: one process, or GPUs by NCCL (packages libopenmpi-dev and openmpi-bin bring it)")
  endif()
endif()
