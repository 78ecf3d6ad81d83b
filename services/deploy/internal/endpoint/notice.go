package endpoint

import (
	"fmt"

	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/services/deploy/internal/environment"
)

// localTarget is the compute target whose replicas are processes of the machine
// that the compute service runs on.
const localTarget = "local"

// modelFolder is the variable by which a script finds its models.
const modelFolder = "AZUREML_MODEL_DIR"

// Notices tells what is set on a version and has no effect on its compute
// target, and why.
func (e Endpoint) Notices(v Version) []string {
	var all []string
	if resourcename.Last(e.ComputeTarget) == localTarget && v.Spec.Namespace != "" {
		all = append(all, "namespace "+v.Spec.Namespace+" has no effect on the compute target local: its replicas are processes of this machine, which have no Kubernetes namespace")
	}
	return append(all, reservedVariable(v.Spec.Environment)...)
}

// EnvironmentNotices tells what of an environment has no effect on a compute
// target, and why.
func EnvironmentNotices(computeTarget string, c environment.Content) []string {
	var all []string
	if resourcename.Last(computeTarget) == localTarget {
		d := c.Docker
		for _, part := range []struct {
			what  string
			given bool
		}{
			{"base image " + d.BaseImage, d.BaseImage != ""},
			{"base Dockerfile", d.BaseDockerfile != ""},
			{"image registry " + d.Registry, d.Registry != ""},
			{"size of shared memory " + d.ShmSize, d.ShmSize != ""},
			{fmt.Sprintf("arguments %q of the container tool", d.Arguments), len(d.Arguments) > 0},
		} {
			if part.given {
				all = append(all, part.what+" has no effect on the compute target local: its replicas are processes of this machine, not containers")
			}
		}
	}
	return append(all, reservedVariable(c.Variables)...)
}

func reservedVariable(variables map[string]string) []string {
	if _, given := variables[modelFolder]; !given {
		return nil
	}
	return []string{"environment variable " + modelFolder + " has no effect: it is reserved, and set to the folder of the version's models"}
}
