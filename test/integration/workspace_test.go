package integration

import (
	"bytes"
	"net/http"
	"path/filepath"
	"testing"

	authv1 "github.com/fairlead/fairlead/proto/gen/fairlead/auth/v1"
	"github.com/fairlead/fairlead/test/harness"
)

// TestWorkspaces has endpoints of the same name in two workspaces: they share nothing.
func TestWorkspaces(t *testing.T) {
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		registerModel(t, i)
		mine := deploy(t, i, "shop", script, nil)
		i.Run("workspace", "create", "-n", "team")
		r := i.Refused("model", "deploy", "-w", "team", "-n", "shop", "-m", modelID, "--ct", "local",
			"--ic", inferenceConfig(t, script), "--dc", deploymentConfig(t, nil))
		wantViolations(t, r, "-m "+modelID)

		dir := writeFiles(t, map[string]string{"demo.txt": "other weights"})
		i.Run("model", "register", "-w", "team", "-n", "demo", "-p", filepath.Join(dir, "demo.txt"))
		i.Run("model", "deploy", "-w", "team", "-n", "shop", "-m", modelID, "--ct", "local",
			"--ic", inferenceConfig(t, script), "--dc", deploymentConfig(t, nil))
		keys := &authv1.EndpointKeys{}
		unmarshal(t, i.Run("endpoint", "get-keys", "-w", "team", "-n", "shop", "-o", "json"), keys)
		for _, test := range []struct {
			name, path, key string
			want            int
		}{
			{"team's key in team", "workspaces/team/service/shop", keys.GetPrimaryKey(), http.StatusOK},
			{"default's key in team", "workspaces/team/service/shop", mine, http.StatusUnauthorized},
			{"team's key in default", "service/shop", keys.GetPrimaryKey(), http.StatusUnauthorized},
			{"default's key, workspace named", "workspaces/default/service/shop", mine, http.StatusOK},
			{"unknown workspace", "workspaces/nowhere/service/shop", mine, http.StatusNotFound},
		} {
			request, err := http.NewRequestWithContext(testContext(t), http.MethodPost, i.Data+"/api/v1/"+test.path+"/score", bytes.NewReader(wish(`{}`)))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer "+test.key)
			if answer, err := i.Do(request); err != nil || answer.Status != test.want {
				t.Errorf("%s: the answer is %v, %v; want %d", test.name, answer, err, test.want)
			}
		}
	})
}
