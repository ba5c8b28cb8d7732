# SPDX-License-Identifier: GPL-2.0-only
#
# The one entry for people; `make help` lists what there is. The module itself is
# built by Kbuild, everything else by the Makefile of its own directory, and all
# of it below BUILD.

BUILD ?= $(CURDIR)/build
override BUILD := $(abspath $(BUILD))
export BUILD

KVER ?= $(shell uname -r)
KDIR ?= $(wildcard /lib/modules/$(KVER)/build)
VERSION := $(shell sed -n "s/.*-DVIREO_VERSION='\"\(.*\)\"'.*/\1/p" Kbuild)

LAB ?= svm
HOST ?= small

PREFIX ?= /usr/local
DESTDIR ?=

all: module userspace

ifeq ($(KDIR),)
module:
	@echo "vireo.ko is not built: no headers for the running kernel $(KVER); install them or give KDIR="
else
module:
	selftests/lab/build-module $(abspath $(KDIR))
endif

userspace:
	$(MAKE) -C userspace O=$(BUILD)/userspace

sparse: deps
	selftests/lab/build-module 6.12 SPARSE=1
	selftests/lab/build-module 6.1 SPARSE=1

# --- Running it on emulated processors --------------------------------------------

deps:
	@selftests/lab/deps

demo: deps
	@selftests/lab/demo $(LAB)

demo-debian: deps
	@selftests/lab/demo-debian $(LAB)

lab: deps
	@selftests/lab/with-build $(LAB) $(HOST)

check: deps
	@selftests/check --tier check

check-all: deps
	@selftests/check --tier all

bench: deps
	@selftests/bench/run

# Each fuzzer runs for that long.
SECONDS ?= 60
fuzz: deps
	$(MAKE) -C userspace O=$(BUILD)/userspace-check SECONDS=$(SECONDS) fuzz
	$(MAKE) -C selftests/emulate O=$(BUILD)/emulate SECONDS=$(SECONDS) fuzz

# --- Installing ---------------------------------------------------------------------
#
# The module's source goes where DKMS looks for it. With DKMS on the machine it builds the
# module, now and for each later kernel; without, the module built here is installed for the
# kernel it was built for.

dkms_dir := $(DESTDIR)/usr/src/vireo-$(VERSION)
module_dir := $(DESTDIR)/lib/modules/$(KVER)/updates
udev_rule := $(DESTDIR)/usr/lib/udev/rules.d/60-vireo.rules
# Only on the machine itself: a package's staging directory has no kernel to look after.
dkms := $(if $(DESTDIR),,$(shell command -v dkms))

install: all
	install -d $(dkms_dir)
	cp -a --parents Kbuild kmod uapi $(dkms_dir)
	sed 's/@VERSION@/$(VERSION)/' packaging/dkms.conf >$(dkms_dir)/dkms.conf
	install -D -m 644 packaging/60-vireo.rules $(udev_rule)
	$(MAKE) -C userspace O=$(BUILD)/userspace PREFIX=$(PREFIX) DESTDIR=$(DESTDIR) install
ifneq ($(dkms),)
	dkms install -m vireo -v $(VERSION) --force
else ifneq ($(KDIR),)
	install -D -m 644 $(BUILD)/module/vireo.ko $(module_dir)/vireo.ko
	$(if $(DESTDIR),,depmod $(KVER))
endif
ifeq ($(DESTDIR),)
	getent group vireo >/dev/null || groupadd --system vireo
	-udevadm control --reload 2>/dev/null
	-ldconfig
endif

# The group stays: files may belong to it.
uninstall:
ifneq ($(dkms),)
	-dkms remove -m vireo -v $(VERSION) --all
endif
	rm -f $(module_dir)/vireo.ko $(udev_rule)
	rm -rf $(dkms_dir)
	$(MAKE) -C userspace O=$(BUILD)/userspace PREFIX=$(PREFIX) DESTDIR=$(DESTDIR) uninstall
ifeq ($(DESTDIR),)
	-depmod $(KVER)
	-udevadm control --reload 2>/dev/null
	-ldconfig
endif

clean:
	rm -rf $(BUILD)

help:
	@echo 'make                    the module (for KDIR=, by default the running kernel), library and launcher'
	@echo 'make demo [LAB=svm]     a stock Debian kernel as a guest, on an emulated processor'
	@echo 'make demo-debian [LAB=] Debian 12 from a disk, with a network, as a guest'
	@echo 'make lab [LAB= HOST=]   a shell in the host of a lab, with all of this at hand'
	@echo 'make check, check-all   the tests; all of them on all processors'
	@echo 'make bench, fuzz        measure against KVM; feed it broken input'
	@echo 'make sparse             static checks of the module'
	@echo 'make install, uninstall [DESTDIR= PREFIX=/usr/local]'
	@echo 'make deps, clean'
	@echo
	@echo 'LAB is one of:'
	@selftests/lab/lab list | sed 's/^/  /'

.PHONY: all module userspace sparse deps demo demo-debian lab check check-all bench fuzz install uninstall clean help
