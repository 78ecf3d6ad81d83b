package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	computev1 "github.com/fairlead/fairlead/proto/gen/fairlead/compute/v1"
	routerv1 "github.com/fairlead/fairlead/proto/gen/fairlead/router/v1"
	"github.com/fairlead/fairlead/test/harness"
)

// workloadsOf lists the workloads of the target local that serve an endpoint.
func workloadsOf(t *testing.T, i *harness.Installation, endpoint string) []*computev1.Workload {
	t.Helper()
	list := must(apiOf(i).workloads.ListWorkloads(testContext(t), &computev1.ListWorkloadsRequest{Parent: workspace + "/computeTargets/local"}))(t)
	var found []*computev1.Workload
	for _, w := range list.GetWorkloads() {
		if w.GetSpec().GetEndpoint() == endpointName(endpoint) {
			found = append(found, w)
		}
	}
	return found
}

// replicaOf finds the scorer process of an endpoint that has one replica.
func replicaOf(t *testing.T, i *harness.Installation, endpoint string) harness.Process {
	t.Helper()
	var found harness.Process
	harness.Eventually(t, 10*time.Second, "the endpoint has one replica", func() error {
		ids := replicaIDs(workloadsOf(t, i, endpoint))
		if len(ids) != 1 {
			return fmt.Errorf("its replicas are %v", ids)
		}
		var matches []harness.Process
		for _, p := range i.Replicas() {
			if strings.Contains(p.Command, ids[0]) {
				matches = append(matches, p)
			}
		}
		if len(matches) != 1 {
			return fmt.Errorf("its processes are %v", matches)
		}
		found = matches[0]
		return nil
	})
	return found
}

func replicaIDs(workloads []*computev1.Workload) []string {
	var ids []string
	for _, w := range workloads {
		for _, r := range w.GetReplicas() {
			ids = append(ids, r.GetId())
		}
	}
	return ids
}

// awaitInFlight waits until a replica of an endpoint works on a request.
func awaitInFlight(t *testing.T, i *harness.Installation, endpoint string) {
	t.Helper()
	client := routerv1.NewRouterServiceClient(i.Conn())
	harness.Eventually(t, 5*time.Second, "a replica works on a request", func() error {
		table, err := client.GetRouteTable(testContext(t), &routerv1.GetRouteTableRequest{})
		if err != nil {
			return err
		}
		for _, e := range table.GetEntries() {
			for _, v := range e.GetVersions() {
				for _, r := range v.GetReplicas() {
					if e.GetEndpoint() == endpointName(endpoint) && r.GetInFlight() > 0 {
						return nil
					}
				}
			}
		}
		return fmt.Errorf("the table is %v", table)
	})
}
