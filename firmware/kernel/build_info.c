/* The build's facts; harness/kernel/build.py writes build_inputs.h. */
#include "kernel/build_info.h"

#include "board.h"
#include "build_inputs.h"

/* An ELF note (name size, description size, type, "GNU\0", description) that the linker fills in. */
extern const uint8_t kernel_build_id_note[];

#define NOTE_DESCRIPTION 16u

/* Kept although the kernel does not read all of them: an image identifies itself. */
#define FACT __attribute__((used, retain))

const uint8_t *build_id(void)
{
    return kernel_build_id_note + NOTE_DESCRIPTION;
}

FACT const uint8_t build_public_key[PUBLIC_KEY_SIZE] = BUILD_PUBLIC_KEY;
FACT const uint8_t build_channel_key[CHANNEL_KEY_SIZE] = BUILD_CHANNEL_KEY;
FACT const bool build_key_is_development = BUILD_KEY_IS_DEVELOPMENT;
FACT const char build_board[] = BOARD_NAME;

#ifdef ASSAY_TESTING
FACT const bool build_is_testing = true;
#else
FACT const bool build_is_testing = false;
#endif
