# SPDX-License-Identifier: GPL-2.0-only
"""The emulated processors, and how their emulators are started.

Every emulator gets a directory of its own and the same three things: a console on the first
serial port (a FIFO or a terminal), the file `result` behind the second one, and an end of its
process when the machine is powered off, panics or resets.
"""

import ctypes
import functools
import mmap
import os
import platform
import subprocess
import time

from .initramfs import LabError

# Bochs' clock advances by instructions. This many make up a second in the lab; it is near
# to what Bochs does in a second here, so that seconds inside and outside are alike.
BOCHS_IPS = 100_000_000
# Its disks have 16 heads and 63 sectors to the track.
BOCHS_CYLINDER = 16 * 63 * 512

# A host that hangs is of no use to anybody: it says where all its processors are, and ends.
COMMON_ARGS = ("panic=-1 oops=panic softlockup_panic=1 sysctl.kernel.softlockup_all_cpu_backtrace=1"
               " sysctl.kernel.panic_on_rcu_stall=1 sysctl.kernel.hung_task_panic=1 mitigations=off nokaslr net.ifnames=0 random.trust_cpu=on"
               " log_buf_len=1M kunit.enable=1")


@functools.cache
def tsc_khz():
    """The frequency of this machine's TSC, which QEMU without icount gives to its own; None if it cannot be measured."""
    if platform.machine() != "x86_64":
        return None
    try:
        code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:
        return None
    # rdtsc; shl $32, %rdx; or %rdx, %rax; ret
    code.write(bytes.fromhex("0f31 48c1e220 4809d0 c3"))
    rdtsc = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(code)))

    def sample():
        """The TSC and the time, taken together: the closest of some, as others use this machine too."""
        best = None
        for _ in range(50):
            before = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
            ticks = rdtsc()
            after = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
            if best is None or after - before < best[0]:
                best = (after - before, ticks, (before + after) // 2)
        return best[1:]

    first, began = sample()
    time.sleep(0.05)
    last, ended = sample()
    return round((last - first) * 1_000_000 / (ended - began))


class Qemu:
    """QEMU without KVM: AMD SVM with nested paging."""

    boot_seconds = 60

    def __init__(self, icount=False, serial=False):
        self.icount = icount
        self.serial = serial
        self.default_cpus = 1 if icount else 2

    def spares_cpu0(self, cpus):
        """Whether the machine has one processor more, its first, on which the lab runs nothing.

        In QEMU 7.2 (cpu_clear_ignne()) any processor that restores x87 state rewrites a word of processor 0, which has GIF
        and the switch of nested paging in it. Done from another thread, that undoes what processor 0 has just changed.
        """
        return cpus > 1 and not self.icount and not self.serial

    def kernel_args(self, cpus):
        args = f"{COMMON_ARGS} console=ttyS0,115200 quiet tsc=reliable no_timer_check"
        # Where this machine is busy, what the kernel measures against the PIT is wrong by far, and so is its clock.
        khz = None if self.icount else tsc_khz()
        return args if khz is None else f"{args} tsc_early_khz={khz}"

    def command(self, directory, machine):
        """The command line; the console is its standard input and output."""
        initrd = os.path.join(directory, "initrd")
        with open(initrd, "wb") as f:
            f.write(machine.initramfs)
        # QEMU stores byte by byte what fast strings store, and looks for translated code at each store into a page that has some:
        # to clear 2 MiB where a guest's code has been took the host's kernel longer than a soft lockup. Eight bytes at a time do not.
        model = "max" if self.icount else "max,-erms,-fsrm"
        command = [
            "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-M", "pc,usb=off,hpet=off", "-cpu", model, "-smp", str(machine.cpus + machine.spare_cpu0), "-m", str(machine.memory),
            "-kernel", machine.kernel, "-initrd", initrd, "-append", machine.args,
            "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
            "-serial", f"file:{directory}/result",
        ]
        for disk, keep in machine.disks:
            command += ["-drive", f"file={disk.replace(',', ',,')},format=raw,if=virtio,snapshot={'off' if keep else 'on'}"]
        if machine.lan:
            # A frame is a datagram; what is sent before the other side is there is lost, as on a wire.
            lan, side = machine.lan
            here, there = (os.path.join(lan, str(n)) for n in (side, 1 - side))
            command += ["-netdev", f"dgram,id=lan,local.type=unix,local.path={here},remote.type=unix,remote.path={there}",
                        "-device", f"virtio-net-pci,netdev=lan,mac=52:54:00:00:00:0{side},romfile="]
        if self.icount:
            return command + ["-accel", "tcg", "-icount", "shift=0,sleep=off", "-rtc", "clock=vm"]
        return command + ["-accel", f"tcg,thread={'single' if self.serial else 'multi'}"]


class Bochs:
    """Bochs with one of its processor models."""

    boot_seconds = 180
    default_cpus = 1
    # What is left of its controllers beside the CD; the kernel's names follow the order.
    disk_slots = ("ata0-slave", "ata1-master", "ata1-slave")

    def __init__(self, model):
        self.model = model

    def spares_cpu0(self, cpus):
        return False

    def kernel_args(self, cpus):
        # A triple fault is the one way to reset that ends Bochs. The clock is known, so
        # nothing needs to be calibrated. Bochs 2.7 tells wrong sizes of the compacted XSAVE
        # area and of PKRU's part in it, for which Linux would give up XSAVE and AVX; and it
        # has FSRM without fast strings, over which the memmove() of Linux 6.1 stumbles.
        khz = BOCHS_IPS // 1000
        return (f"{COMMON_ARGS} console=ttyS0,115200 quiet reboot=t tsc=reliable no_timer_check"
                f" clearcpuid=xsavec,xsaves,pku,fsrm tsc_early_khz={khz} lpj={khz * 1000 // 250}")

    def command(self, directory, machine):
        self._make_image(directory, machine)
        with open(os.path.join(directory, "bochsrc"), "w") as f:
            f.write(f"""
display_library: term
config_interface: textconfig
romimage: file=/usr/share/bochs/BIOS-bochs-latest, options=fastboot
vgaromimage: file=/usr/share/vgabios/vgabios.bin
cpu: model={self.model}, count={machine.cpus}, ips={BOCHS_IPS}, reset_on_triple_fault=0, ignore_bad_msrs=1
memory: guest={machine.memory}, host={machine.memory}
clock: sync=none, time0=utc
pci: enabled=1, chipset=i440fx
ata0-master: type=cdrom, path={directory}/boot.iso, status=inserted
ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15
{self._disks(directory, machine)}
boot: cdrom
com1: enabled=1, {machine.bochs_console}
com2: enabled=1, mode=file, dev={directory}/result
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
speaker: enabled=0
floppy_bootsig_check: disabled=1
log: {directory}/bochs.log
debugger_log: -
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
""")
        # Debian's Bochs starts in its debugger; let it go on.
        with open(os.path.join(directory, "bochs.rc"), "w") as f:
            f.write("c\n")
        return ["bochs", "-q", "-f", f"{directory}/bochsrc", "-rc", f"{directory}/bochs.rc"]

    def _disks(self, directory, machine):
        """Volatile, but for those to keep: what is written goes to a file beside, which goes with the machine."""
        if len(machine.disks) > len(self.disk_slots):
            raise LabError(f"Bochs has room for {len(self.disk_slots)} disks")
        lines = []
        for slot, (disk, keep) in zip(self.disk_slots, machine.disks):
            if os.path.getsize(disk) % BOCHS_CYLINDER:
                raise LabError(f"{disk}: the size is no multiple of {BOCHS_CYLINDER}, a cylinder of Bochs")
            # Its own configuration knows no quoting.
            os.symlink(disk, f"{directory}/{slot}")
            mode = "flat" if keep else f"volatile, journal={directory}/{slot}.redolog"
            lines.append(f"{slot}: type=disk, mode={mode}, path={directory}/{slot}, cylinders=0")
        return "\n".join(lines)

    @staticmethod
    def _make_image(directory, machine):
        tree = os.path.join(directory, "iso")
        os.mkdir(tree)
        os.symlink("/usr/lib/ISOLINUX/isolinux.bin", f"{tree}/isolinux.bin")
        os.symlink("/usr/lib/syslinux/modules/bios/ldlinux.c32", f"{tree}/ldlinux.c32")
        os.symlink(machine.kernel, f"{tree}/bzimage")
        with open(f"{tree}/initrd", "wb") as f:
            f.write(machine.initramfs)
        with open(f"{tree}/isolinux.cfg", "w") as f:
            f.write(f"default lab\nprompt 0\nlabel lab\nkernel /bzimage\nappend initrd=/initrd {machine.args}\n")
        subprocess.run(
            ["xorriso", "-as", "mkisofs", "-quiet", "-f", "-J", "-o", f"{directory}/boot.iso", "-b", "isolinux.bin",
             "-c", "boot.cat", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", tree],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


# name: (emulator, what is particular about it)
LABS = {
    "svm": (Qemu(), "AMD SVM with NPT; no nRIP save, no decode assists; fast, SMP"),
    "svm-serial": (Qemu(serial=True), "the same, its processors in turn"),
    "svm-icount": (Qemu(icount=True), "the same, one TSC tick per instruction, repeatable"),
    "icelake": (Bochs("corei7_icelake_u"), "VMX with PML, TSC scaling, mode-based EPT, #VE"),
    "tigerlake": (Bochs("tigerlake"), "like icelake"),
    "skylake": (Bochs("corei7_skylake_x"), "VMX with PML, TSC scaling"),
    "haswell": (Bochs("corei7_haswell_4770"), "EPT A/D bits, 1 GiB pages, virtual APIC, VMCS shadowing"),
    "sandybridge": (Bochs("corei7_sandy_bridge_2600k"), "unrestricted guest"),
    "lynnfield": (Bochs("corei5_lynnfield_750"), "EPT without unrestricted guest"),
    "penryn": (Bochs("core2_penryn_t9600"), "VMX without EPT, VPID, unrestricted guest"),
    "zambezi": (Bochs("zambezi"), "AMD SVM with NPT, the stricter implementation"),
}
