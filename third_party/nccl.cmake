# Finds NCCL, which is not part of the CUDA toolkit: in NCCL_INCLUDE_DIR and NCCL_LIBRARY, beside the toolkit, or on the
# system. Without it several GPUs communicate through MPI and host memory. Sets LIGHTHOUSE_HAS_NCCL.
find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS} ${LIGHTHOUSE_CUDA_HINTS} PATH_SUFFIXES include)
find_library(NCCL_LIBRARY NAMES nccl libnccl.so.2 HINTS ${LIGHTHOUSE_CUDA_HINTS} PATH_SUFFIXES lib64 lib)
set(LIGHTHOUSE_HAS_NCCL OFF)
if(NCCL_INCLUDE_DIR AND NCCL_LIBRARY)
  set(LIGHTHOUSE_HAS_NCCL ON)
  message(STATUS "NCCL: ${NCCL_LIBRARY}")
else()
  message(STATUS "NCCL was not found: several GPUs communicate through MPI and host memory, which is slow (set NCCL_INCLUDE_DIR and NCCL_LIBRARY)")
endif()
