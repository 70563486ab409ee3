# Finds cudnn-frontend's headers: in CUDNN_FRONTEND_INCLUDE_DIR, in the Python package nvidia-cudnn-frontend, or on the
# system. Otherwise pip downloads a pinned version of that package into the build folder.
set(LIGHTHOUSE_CUDNN_FRONTEND_VERSION 1.32.0)

find_package(Python3 QUIET COMPONENTS Interpreter)
if(NOT CUDNN_FRONTEND_INCLUDE_DIR AND Python3_FOUND)
  execute_process(COMMAND ${Python3_EXECUTABLE} -c "import sysconfig; print(sysconfig.get_paths()['platlib'])"
                  OUTPUT_VARIABLE site_packages OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
set(fetched ${CMAKE_BINARY_DIR}/third_party/cudnn_frontend)
find_path(CUDNN_FRONTEND_INCLUDE_DIR cudnn_frontend.h HINTS ${fetched}/include ${site_packages}/include)

if(NOT CUDNN_FRONTEND_INCLUDE_DIR AND Python3_FOUND)
  message(STATUS "Fetching the headers of cudnn-frontend ${LIGHTHOUSE_CUDNN_FRONTEND_VERSION}")
  # Only the headers are needed, so a wheel for any Python works.
  execute_process(COMMAND ${Python3_EXECUTABLE} -m pip download --quiet --no-deps --only-binary=:all: --dest ${fetched}
                          --python-version 3.12 --platform manylinux_2_28_x86_64
                          nvidia-cudnn-frontend==${LIGHTHOUSE_CUDNN_FRONTEND_VERSION}
                  RESULT_VARIABLE failed)
  file(GLOB wheel ${fetched}/*.whl)
  if(NOT failed AND wheel)
    file(ARCHIVE_EXTRACT INPUT ${wheel} DESTINATION ${fetched} PATTERNS include/*)
    unset(CUDNN_FRONTEND_INCLUDE_DIR CACHE)
    find_path(CUDNN_FRONTEND_INCLUDE_DIR cudnn_frontend.h HINTS ${fetched}/include)
  endif()
endif()
