if(TARGET coord_api)
  coord_test(test_api unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_api.c ${CMAKE_CURRENT_LIST_DIR}/api_fixture.c LINKS coord_api)
  coord_test(test_coordctl unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_coordctl.c ${CMAKE_CURRENT_LIST_DIR}/api_fixture.c
             ${CMAKE_CURRENT_LIST_DIR}/program.c LINKS coord_api)
  target_compile_definitions(test_coordctl PRIVATE COORDCTL="$<TARGET_FILE:coordctl>")
  add_dependencies(test_coordctl coordctl)
  coord_test(test_api_judge unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_api_judge.c ${CMAKE_CURRENT_LIST_DIR}/core_fixture.c
             LINKS coord_api)
endif()
