// SPDX-License-Identifier: MIT OR Apache-2.0
//! A disk that an s390x machine boots from: ISO 9660 with an El Torito boot record, which QEMU's firmware reads from
//! any virtio disk. The boot image is the kernel as it would lie in storage from address 0, with the initial RAM file
//! system behind it.

/// ISO 9660 and El Torito count in these.
const SECTOR: usize = 2048;

/// The first volume descriptor; ECMA-119, 6.2.1.
const DESCRIPTORS: usize = 16;
const ROOT: usize = 19;
const CATALOG: usize = 20;
const BOOT_IMAGE: usize = 21;

/// Where Linux for s390x looks for its parameters (`arch/s390/include/asm/setup.h`: `PARMAREA`).
const INITRD_START: usize = 0x1_0408;
const INITRD_SIZE: usize = 0x1_0410;
const COMMAND_LINE: usize = 0x1_0480;
/// How long the command line may be, its end included.
const COMMAND_LINE_SIZE: usize = 896;
/// A PSW in the short form: 64-bit addresses, start at 0x10000 as for `-kernel`.
const START: [u8; 8] = [0, 8, 0, 0, 0x80, 1, 0, 0];
const MEGABYTE: usize = 1 << 20;

/// The disk's content.
///
/// # Errors
/// A sentence, if kernel or command line have no place in it.
pub(crate) fn image(kernel: &[u8], initramfs: &[u8], command_line: &str) -> Result<Vec<u8>, String> {
    let boot = boot_image(kernel, initramfs, command_line)?;
    // El Torito counts in 512 bytes; the firmware reads whole sectors only.
    let count = u16::try_from(boot.len().div_ceil(SECTOR) * (SECTOR / 512))
        .map_err(|_| "kernel and RAM file system are too large")?;
    let mut disk = vec![0; BOOT_IMAGE * SECTOR];
    let mut put = |sector: usize, at: usize, bytes: &[u8]| {
        let at = sector * SECTOR + at;
        disk[at..at + bytes.len()].copy_from_slice(bytes);
    };
    for (number, kind) in [1, 0, 0xff].into_iter().enumerate() {
        put(DESCRIPTORS + number, 0, &[kind, b'C', b'D', b'0', b'0', b'1', 1]);
    }
    let root = record(ROOT, SECTOR);
    put(DESCRIPTORS, 128, &both_u16(SECTOR));
    put(DESCRIPTORS, 156, &root);
    put(DESCRIPTORS + 1, 7, b"EL TORITO SPECIFICATION");
    put(DESCRIPTORS + 1, 71, &(CATALOG as u32).to_le_bytes());
    put(ROOT, 0, &root);
    put(ROOT, root.len(), &root);
    // The catalog's validation entry, its words adding up to 0, and its only other entry: bootable, not emulating a
    // disk.
    put(CATALOG, 0, &[1]);
    put(CATALOG, 28, &[0xaa, 0x55, 0x55, 0xaa]);
    put(CATALOG, 32, &[0x88]);
    put(CATALOG, 38, &count.to_le_bytes());
    put(CATALOG, 40, &(BOOT_IMAGE as u32).to_le_bytes());
    disk.extend(boot);
    disk.resize(disk.len().next_multiple_of(SECTOR), 0);
    Ok(disk)
}

fn boot_image(kernel: &[u8], initramfs: &[u8], command_line: &str) -> Result<Vec<u8>, String> {
    if kernel.len() < COMMAND_LINE + COMMAND_LINE_SIZE || command_line.len() >= COMMAND_LINE_SIZE {
        return Err("this is no kernel, or the command line is too long".to_owned());
    }
    let start = kernel.len().next_multiple_of(MEGABYTE);
    let mut boot = kernel.to_vec();
    boot[..START.len()].copy_from_slice(&START);
    boot[INITRD_START..INITRD_START + 8].copy_from_slice(&(start as u64).to_be_bytes());
    boot[INITRD_SIZE..INITRD_SIZE + 8].copy_from_slice(&(initramfs.len() as u64).to_be_bytes());
    let line = &mut boot[COMMAND_LINE..COMMAND_LINE + COMMAND_LINE_SIZE];
    line.fill(0);
    line[..command_line.len()].copy_from_slice(command_line.as_bytes());
    boot.resize(start, 0);
    boot.extend(initramfs);
    Ok(boot)
}

/// The directory record of a folder without a name; ECMA-119, 9.1.
fn record(sector: usize, size: usize) -> Vec<u8> {
    const LENGTH: u8 = 34;
    let mut record = vec![LENGTH, 0];
    record.extend(both_u32(sector));
    record.extend(both_u32(size));
    record.extend([0; 7]);
    // A folder, in no interleaving, on the first volume, whose name has one byte.
    record.extend([2, 0, 0]);
    record.extend(both_u16(1));
    record.extend([1, 0]);
    record
}

/// Little-endian, then big-endian; ECMA-119, 7.2.3.
fn both_u16(value: usize) -> [u8; 4] {
    let [a, b] = (value as u16).to_le_bytes();
    [a, b, b, a]
}

/// The same for 32 bits; ECMA-119, 7.3.3.
fn both_u32(value: usize) -> [u8; 8] {
    let [a, b, c, d] = (value as u32).to_le_bytes();
    [a, b, c, d, d, c, b, a]
}
