package scorer

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestModelNames(t *testing.T) {
	type names struct{ Names, Versions []string }
	for name, test := range map[string]struct {
		change func(*Config)
		want   names
	}{
		"nothing said":     {func(*Config) {}, names{}},
		"model alone":      {func(c *Config) { c.ModelDir = "/d/azureml-models/m/2" }, names{[]string{"m"}, []string{"2"}}},
		"service alone":    {func(c *Config) { c.ServiceName, c.ServiceVersion = "shop", "blue" }, names{[]string{"shop"}, []string{"blue"}}},
		"service first":    {func(c *Config) { c.ServiceName, c.ServiceVersion, c.ModelDir = "shop", "blue", "/d/azureml-models/m/2" }, names{[]string{"shop", "m"}, []string{"blue", "2"}}},
		"the same":         {func(c *Config) { c.ServiceName, c.ModelDir = "m", "/d/azureml-models/m/2" }, names{[]string{"m"}, []string{"2"}}},
		"several models":   {func(c *Config) { c.ModelDir = "/d/azureml-models" }, names{}},
		"some other place": {func(c *Config) { c.ModelDir = "/home/me/model" }, names{}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := DefaultConfig()
			test.change(&cfg)
			var got names
			got.Names, got.Versions = modelNames(cfg)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
