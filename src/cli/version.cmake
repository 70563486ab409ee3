cmake_minimum_required(VERSION 3.22)
# Writes OUTPUT, the C++ source with the commit of SOURCE_DIR, if the commit has changed. Runs at every build.
set(commit "$Format:%h$")  # git archive inserts the commit of a tarball here (.gitattributes)
if(commit MATCHES "Format")
  set(commit unknown)
  find_package(Git QUIET)
  if(GIT_FOUND AND EXISTS ${SOURCE_DIR}/.git)
    execute_process(COMMAND ${GIT_EXECUTABLE} describe --always --dirty --tags WORKING_DIRECTORY ${SOURCE_DIR}
                    RESULT_VARIABLE failed OUTPUT_VARIABLE described OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    if(NOT failed)
      set(commit ${described})
    endif()
  endif()
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "#include \"version.h\"\n\nnamespace lighthouse {\n
const char* commit() {\n  return \"@commit@\";\n}\n\n}  // namespace lighthouse\n" @ONLY)
