package endpoint

import "github.com/fairlead/fairlead/platform/resourcename"

// localTarget is the compute target whose replicas are processes of the machine
// that the compute service runs on.
const localTarget = "local"

// Notices tells what is set on a version and has no effect on its compute
// target, and why. baseImage is that of its environment.
func (e Endpoint) Notices(v Version, baseImage string) []string {
	if resourcename.Last(e.ComputeTarget) != localTarget {
		return nil
	}
	var all []string
	if v.Spec.Namespace != "" {
		all = append(all, "namespace "+v.Spec.Namespace+" has no effect on the compute target local: its replicas are processes of this machine, which have no Kubernetes namespace")
	}
	if baseImage != "" {
		all = append(all, "base image "+baseImage+" has no effect on the compute target local: its replicas are processes of this machine, not containers")
	}
	return all
}
