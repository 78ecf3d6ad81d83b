package endpoint_test

import (
	"strings"
	"testing"

	"github.com/fairlead/fairlead/services/deploy/internal/endpoint"
	"github.com/fairlead/fairlead/services/deploy/internal/environment"
)

func TestWhatHasNoEffectIsNamed(t *testing.T) {
	const here, cluster = "workspaces/default/computeTargets/local", "workspaces/default/computeTargets/cluster"
	content := environment.Content{
		Variables: map[string]string{"AZUREML_MODEL_DIR": "/x"},
		Docker:    environment.Docker{BaseImage: "img:1", BaseDockerfile: "FROM x", Registry: "r.example", ShmSize: "2g", Arguments: []string{"--init"}},
	}
	version := endpoint.Version{Spec: endpoint.Spec{Namespace: "prod", Environment: map[string]string{"AZUREML_MODEL_DIR": "/x", "OTHER": "1"}}}
	for name, test := range map[string]struct {
		got  []string
		want []string // a part of each
	}{
		"of an environment here":         {endpoint.EnvironmentNotices(here, content), []string{"base image img:1", "base Dockerfile", "image registry r.example", "shared memory 2g", `arguments ["--init"]`, "AZUREML_MODEL_DIR"}},
		"of an environment on a cluster": {endpoint.EnvironmentNotices(cluster, content), []string{"AZUREML_MODEL_DIR"}},
		"of a version here":              {endpoint.Endpoint{ComputeTarget: here}.Notices(version), []string{"namespace prod", "AZUREML_MODEL_DIR"}},
		"of a version on a cluster":      {endpoint.Endpoint{ComputeTarget: cluster}.Notices(version), []string{"AZUREML_MODEL_DIR"}},
		"nothing":                        {endpoint.EnvironmentNotices(here, environment.Content{}), nil},
	} {
		t.Run(name, func(t *testing.T) {
			if len(test.got) != len(test.want) {
				t.Fatalf("%d notices, want %d: %q", len(test.got), len(test.want), test.got)
			}
			for i, part := range test.want {
				if !strings.Contains(test.got[i], part) || !strings.Contains(test.got[i], "has no effect") {
					t.Errorf("notice %d is %q, want it about %q", i, test.got[i], part)
				}
			}
		})
	}
}
