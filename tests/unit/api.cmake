if(TARGET coord_api)
  coord_test(test_api unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_api.c ${CMAKE_CURRENT_LIST_DIR}/api_fixture.c LINKS coord_api)
endif()
