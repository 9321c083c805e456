/* Nothing to set up: `virt` has no pin multiplexing, and PSCI keeps its other cores off until asked. */
#include "board.h"

void board_init(void) {}

void board_start_secondaries(void) {}
