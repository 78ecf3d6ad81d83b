package state

import (
	"encoding/json"

	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/platform/store"
	"github.com/fairlead/fairlead/services/compute/internal/target"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

func targetKey(workspace, id string) string {
	return resourcename.Format(targetsPrefix, workspace, id)
}

func clusterKey(id string) string { return resourcename.Format(clustersPrefix, id) }

func workloadKey(workspace, targetID, id string) string {
	return resourcename.Format(workloadsPrefix, workspace, targetID, id)
}

// PutTarget writes a target that had the given revision; 0: that was not stored.
func PutTarget(t target.Target, at store.Revision) store.Op {
	return put(targetKey(t.Workspace, t.ID), t, at)
}

// DropTarget removes a target that had the given revision.
func DropTarget(t target.Target, at store.Revision) store.Op {
	return store.Delete(targetKey(t.Workspace, t.ID), at)
}

// GuardTarget holds while the target is as it was read.
func GuardTarget(t target.Target, at store.Revision) store.Guard {
	return store.Guard{Key: targetKey(t.Workspace, t.ID), Revision: at}
}

// PutCluster writes a cluster that had the given revision.
func PutCluster(c target.Cluster, at store.Revision) store.Op { return put(clusterKey(c.ID), c, at) }

// DropCluster removes a cluster that had the given revision.
func DropCluster(c target.Cluster, at store.Revision) store.Op {
	return store.Delete(clusterKey(c.ID), at)
}

// PutWorkload writes a workload that had the given revision.
func PutWorkload(w workload.Workload, at store.Revision) store.Op {
	return put(workloadKey(w.Workspace, w.Target, w.ID), w, at)
}

// DropWorkload removes a workload that had the given revision.
func DropWorkload(w workload.Workload, at store.Revision) store.Op {
	return store.Delete(workloadKey(w.Workspace, w.Target, w.ID), at)
}

// PassTurnstile belongs in the batch that makes a workload on a target.
func PassTurnstile(w workload.Workload) store.Op {
	return store.Put(resourcename.Format(turnstilesPrefix, w.Workspace, w.Target), []byte(w.ID))
}

func put[T any](key string, value T, at store.Revision) store.Op {
	data, err := json.Marshal(value)
	if err != nil { // aggregates are strings, numbers and times
		data = nil
	}
	if at == 0 {
		return store.Create(key, data)
	}
	return store.Update(key, data, at)
}
