// SPDX-License-Identifier: GPL-2.0-only
/*
 * The list of KUnit suites: a module has one.
 */
#include <kunit/test.h>

extern struct kunit_suite vireo_cpuid_suite;
extern struct kunit_suite vireo_ioeventfd_suite;
extern struct kunit_suite vireo_lapic_suite;
extern struct kunit_suite vireo_lapic_ipi_suite;
extern struct kunit_suite vireo_lapic_timer_suite;
extern struct kunit_suite vireo_mmu_suite;
extern struct kunit_suite vireo_netlink_suite;
extern struct kunit_suite vireo_pvclock_suite;
extern struct kunit_suite vireo_region_suite;
extern struct kunit_suite vireo_shadow_suite;
extern struct kunit_suite vireo_svm_exit_suite;
extern struct kunit_suite vireo_trace_suite;
extern struct kunit_suite vireo_vmx_caps_suite;
extern struct kunit_suite vireo_vmx_check_suite;
extern struct kunit_suite vireo_vmx_exit_suite;
extern struct kunit_suite vireo_walk_suite;

kunit_test_suites(&vireo_cpuid_suite,
		  &vireo_ioeventfd_suite,
		  &vireo_lapic_suite,
		  &vireo_lapic_ipi_suite,
		  &vireo_lapic_timer_suite,
		  &vireo_mmu_suite,
		  &vireo_netlink_suite,
		  &vireo_pvclock_suite,
		  &vireo_region_suite,
		  &vireo_shadow_suite,
		  &vireo_svm_exit_suite,
		  &vireo_trace_suite,
		  &vireo_vmx_caps_suite,
		  &vireo_vmx_check_suite,
		  &vireo_vmx_exit_suite,
		  &vireo_walk_suite);
