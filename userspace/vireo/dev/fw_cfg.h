/* SPDX-License-Identifier: GPL-2.0-only */
/* fw_cfg: named blobs for firmware and guests, as in QEMU. */
#ifndef VIREO_DEV_FW_CFG_H
#define VIREO_DEV_FW_CFG_H

#include "../board.h"

#define FW_CFG_PORT		0x510
#define FW_CFG_PORTS		12	/* selector, data, and the DMA address */
#define FW_CFG_NAME_MAX		55
#define FW_CFG_FILES_MAX	64
#define FW_CFG_FILE_BYTES_MAX	(64u << 20)

/* Keys of items that are no files. */
#define FW_CFG_SIGNATURE	0x00
#define FW_CFG_ID		0x01
#define FW_CFG_UUID		0x02
#define FW_CFG_RAM_SIZE		0x03
#define FW_CFG_NOGRAPHIC	0x04
#define FW_CFG_NB_CPUS		0x05
#define FW_CFG_BOOT_MENU	0x0e
#define FW_CFG_MAX_CPUS		0x0f
#define FW_CFG_FILE_DIR		0x19
#define FW_CFG_FILE_FIRST	0x20

struct fw_cfg;

int fw_cfg_create(struct board *board, unsigned int cpus, struct fw_cfg **out);
int fw_cfg_add(struct fw_cfg *fw_cfg, uint16_t key, const void *data, uint32_t len);
int fw_cfg_add_file(struct fw_cfg *fw_cfg, const char *name, const void *data, uint32_t len);

#endif /* VIREO_DEV_FW_CFG_H */
