/* The linker script, run through the C preprocessor with the board's header. */
#include "arch/arm64/memlayout.h"
#include "board.h"

ENTRY(_start)

PHDRS
{
    text PT_LOAD FLAGS(5);
    rodata PT_LOAD FLAGS(4);
    data PT_LOAD FLAGS(6);
}

SECTIONS
{
    . = IMAGE_VA;
    kernel_text_start = .;
    .text : AT(BOARD_IMAGE_PA) {
        *(.text.boot)
        *(.text.vectors)
        *(.text .text.*)
        . = ALIGN(PAGE_SIZE);
    } :text
    kernel_text_end = .;

    .rodata : AT(BOARD_IMAGE_PA + (ADDR(.rodata) - IMAGE_VA)) {
        kernel_build_id_note = .;
        KEEP(*(.note.gnu.build-id))
        *(.rodata .rodata.*)
        . = ALIGN(PAGE_SIZE);
    } :rodata
    kernel_rodata_end = .;

    .data : AT(BOARD_IMAGE_PA + (ADDR(.data) - IMAGE_VA)) {
        *(.data .data.*)
        . = ALIGN(16);
    } :data

    .bss (NOLOAD) : AT(BOARD_IMAGE_PA + (ADDR(.bss) - IMAGE_VA)) {
        . = ALIGN(PAGE_SIZE);
        kernel_boot_data_start = .;
        *(.bss.boot)
        . = ALIGN(PAGE_SIZE);
        kernel_boot_data_end = .;
        kernel_bss_start = .;
        *(.bss .bss.* COMMON)
        . = ALIGN(16);
        kernel_bss_end = .;
    } :data
    kernel_image_end = .;

    ASSERT(kernel_image_end - kernel_text_start <= IMAGE_SIZE, "the image with its .bss outgrew IMAGE_SIZE (arch/arm64/memlayout.h)")

    /DISCARD/ : { *(.comment) *(.eh_frame*) *(.ARM.*) *(.note.GNU-stack) }
}
