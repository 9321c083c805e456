/* Empty: cffi knows these types. In the place of the compiler's header when declarations are preprocessed. */
