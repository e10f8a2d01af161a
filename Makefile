# make check    everything that is tested (root; sets itself up on a fresh Debian)
# make demo     two hosts on this machine and a mirror between them (root)
# make build    the programs, in target/release
# make install  the programs and their files, below DESTDIR
# make bench    figures against a pair of kernel nodes (root)
# make bench-front  drbdadm dump of many resources, against the genuine program
# make bench-meta   drbdmeta on 512 MiB of bitmap, against dd

CARGO    ?= cargo
PROGRAMS ?= $(or $(CARGO_TARGET_DIR),target)/release
SBINDIR  ?= /sbin
DATADIR  ?= /usr/share
MANDIR   ?= $(DATADIR)/man
NAMES    := drbdadm drbdsetup drbdmeta drbdd
SYSTEM   := compat/system/root

# The administrator's own files: written only where there are none.
KEPT     := /etc/drbd.conf /etc/drbd.d/global_common.conf

export PATH := $(PATH):$(HOME)/.cargo/bin

.PHONY: all build check demo bench bench-front bench-meta install
all: build

build:
	.ci/setup build
	$(CARGO) build --release --bins

check:
	.ci/setup check
	.ci/check

demo:
	.ci/setup demo
	$(CARGO) build --release --bins
	$(PROGRAMS)/drbdd demo

bench:
	.ci/setup check
	$(CARGO) build --release --bins
	DRBD_PROGRAMS=$(PROGRAMS) $(CARGO) run --release -p testbed --bin bench

bench-front:
	.ci/setup check
	$(CARGO) bench -p drbdadm --bench front

bench-meta: build
	testdata/drbdmeta/benchmark $(PROGRAMS)/drbdmeta $(or $(TMPDIR),/var/tmp)

# As the 8.x packages lay it out (spec 70 section 7). Uses the programs of `make build`.
install:
	@for name in $(NAMES); do test -x $(PROGRAMS)/$$name || { echo "$(PROGRAMS)/$$name is missing: run make build first" >&2; exit 1; }; done
	install -d $(DESTDIR)$(SBINDIR) $(DESTDIR)/var/lib/drbd
	install -m 755 $(addprefix $(PROGRAMS)/,$(NAMES)) $(DESTDIR)$(SBINDIR)
	@cd $(SYSTEM) && find . -type f | sed 's/^\.//' | while read -r file; do \
	    case " $(KEPT) " in *" $$file "*) test -e "$(DESTDIR)$$file" && continue;; esac; \
	    mode=644; test -x ".$$file" && mode=755; \
	    echo "install $(DESTDIR)$$file"; \
	    install -D -m $$mode ".$$file" "$(DESTDIR)$$file" || exit 1; \
	done
	@for page in man/*.[58]; do test -e "$$page" || continue; \
	    install -D -m 644 "$$page" "$(DESTDIR)$(MANDIR)/man$${page##*.}/$$(basename "$$page")" || exit 1; \
	done
	install -D -m 644 completions/drbdadm.bash "$(DESTDIR)$(DATADIR)/bash-completion/completions/drbdadm"
	install -D -m 644 completions/_drbdadm "$(DESTDIR)$(DATADIR)/zsh/vendor-completions/_drbdadm"
	install -D -m 644 completions/drbdadm.fish "$(DESTDIR)$(DATADIR)/fish/vendor_completions.d/drbdadm.fish"
