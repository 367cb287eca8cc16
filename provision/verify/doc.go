// Package verify reads whether a cluster is what its file promises, and is well: quorum and votes,
// Ceph's health, monitors, OSDs and placement groups, storages, disks, HA services, backup jobs.
//
// In comes a steps.Env, out goes a Report: as text, as JSON, as JUnit. What cannot be read fails its
// check; nothing is taken for good that was not seen.
package verify
