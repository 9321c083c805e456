/* Uploads: one buffer a kind, written in any order, whole only when its CRC says so. */
#ifndef ASSAY_CHANNEL_UPLOADS_H
#define ASSAY_CHANNEL_UPLOADS_H

/* Drops every upload. For PRISTINE. */
void uploads_pristine(void);

#endif
