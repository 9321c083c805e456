/* Uploads: one buffer per kind, written in any order, complete only if its CRC matches. */
#ifndef ASSAY_CHANNEL_UPLOADS_H
#define ASSAY_CHANNEL_UPLOADS_H

/* Drops every upload. For PRISTINE. */
void uploads_pristine(void);

#endif
