// Package steps is the story of a cluster, one file a step: from hosts files and the network over
// corosync, Ceph and storages to guests, HA, backup jobs and the monitoring account.
//
// In come a spec.Cluster and a transport.Set; out go engine.Steps. Each step reads its own subject of
// the living cluster, compares only what the file declares, and changes only that. What cannot exist
// yet because an earlier step has still to run is seen as absent, so that a plan for three empty
// machines is complete.
//
// env.go is what the steps share, cluster.go how they find a member of the cluster, task.go how they wait
// for tasks, cephstate.go how they see how far Ceph is. There are no goroutines here.
package steps
