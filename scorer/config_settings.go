package scorer

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// setting is one that the environment or the configuration file may have.
type setting struct {
	// name is the environment variable; field is what a configuration file may call it, too.
	name, field string
	// apply takes over what is set. Its error says what the text must be.
	apply func(c *Config, text string) error
}

const defaultHealthPort = 5000

// settings are those of the old product, and Fairlead's own beside them. Later ones may rest on earlier ones.
func settings() []setting {
	return append(placeSettings(), append(serverSettings(), otherSettings()...)...)
}

// placeSettings say what is served.
func placeSettings() []setting {
	return []setting{
		{"AML_APP_ROOT", "app_root", text(func(c *Config, s string) { c.AppRoot, c.SourceDir = s, s })},
		{"AZUREML_SOURCE_DIRECTORY", "source_dir", text(func(c *Config, s string) {
			if !filepath.IsAbs(s) {
				s = filepath.Join(c.AppRoot, s)
			}
			c.SourceDir = s
		})},
		{"AZUREML_ENTRY_SCRIPT", "entry_script", text(func(c *Config, s string) { c.EntryScript = s })},
		{"AZUREML_MODEL_DIR", "azureml_model_dir", text(func(c *Config, s string) { c.ModelDir = s })},
		{"SERVICE_NAME", "service_name", text(func(c *Config, s string) { c.ServiceName = s })},
		{"SERVICE_VERSION", "service_version", text(func(c *Config, s string) { c.ServiceVersion = s })},
		{"SERVICE_PATH_PREFIX", "service_path_prefix", text(func(c *Config, s string) { c.ServicePathPrefix = s })},
	}
}

// serverSettings say how it is served.
func serverSettings() []setting {
	return []setting{
		{"SERVER_PORT", "", port(func(c *Config, n int) { c.Listen = net.JoinHostPort(hostOf(c.Listen), strconv.Itoa(n)) })},
		{"SEPERATE_HEALTH_ENDPOINT", "", lenient(func(c *Config, on bool) {
			if on {
				c.HealthPort = defaultHealthPort
			}
		})},
		{"HEALTH_PORT", "", port(func(c *Config, n int) {
			if c.HealthPort != 0 {
				c.HealthPort = n
			}
		})},
		{"SCORING_TIMEOUT_MS", "scoring_timeout", number(func(c *Config, n int) { c.Limits.ScoringTimeout = time.Duration(n) * time.Millisecond })},
		{"WORKER_COUNT", "", number(func(c *Config, n int) { c.Workers = n })},
		{"WORKER_TIMEOUT", "", number(func(c *Config, n int) { c.Limits.WorkerTimeout = time.Duration(n) * time.Second })},
		{"WORKER_PRELOAD", "", boolean(func(c *Config, on bool) { c.Preload = on })},
		{"WORKER_THREADS", "", number(func(c *Config, n int) { c.Threads = n })},
		{"WORKER_MAX_MEMORY_MB", "", number(func(c *Config, n int) { c.WorkerMemory = int64(n) << 20 })},
		{"AML_CORS_ORIGINS", "cors_origins", text(func(c *Config, s string) { c.CORSOrigins = s })},
		{"AZUREML_LOG_LEVEL", "log_level", text(func(c *Config, s string) { c.LogLevel = s })},
		{"SERVER_VERSION_LOG_RESPONSE_ENABLED", "", lenient(func(c *Config, on bool) { c.HideVersion = !on })},
		{"FORM_BODY_ENABLED", "", boolean(func(c *Config, on bool) { c.FormBody = on })},
	}
}

// otherSettings are known and checked, but others see to what they are about: the script itself, or Fairlead's telemetry.
func otherSettings() []setting {
	anything := text(func(*Config, string) {})
	return []setting{
		{"WORKSPACE_NAME", "workspace_name", anything},
		{"HOSTNAME", "hostname", anything},
		{"AML_APP_INSIGHTS_ENABLED", "app_insights_enabled", anything},
		{"AML_APP_INSIGHTS_KEY", "app_insights_key", anything},
		{"AML_APP_INSIGHTS_ENDPOINT", "", anything},
		{"AML_DBG_MODEL_INFO", "", anything},
		{"AML_FLASK_ONE_COMPATIBILITY", "flask_one_compatibility", boolean(func(*Config, bool) {})},
		{"AML_MODEL_DC_STORAGE_ENABLED", "model_dc_storage_enabled", boolean(func(*Config, bool) {})},
		{"APP_INSIGHTS_LOG_RESPONSE_ENABLED", "app_insights_log_response_enabled", boolean(func(*Config, bool) {})},
		{"AZUREML_DEBUG_PORT", "debug_port", port(func(*Config, int) {})},
	}
}

// withSettings takes over what the environment says, and the file where that says nothing.
func (c Config) withSettings(env func(string) string, file *configFile) (Config, []error) {
	var problems []error
	for _, s := range settings() {
		value, where := env(s.name), ""
		if value == "" {
			if value, where = file.take(s.name, s.field), file.suffix(); value == "" {
				continue
			}
		}
		if err := s.apply(&c, value); err != nil {
			problems = append(problems, fmt.Errorf("%s%s is %q, %w", s.name, where, value, err))
		}
	}
	c.Notes = append(c.Notes, file.unknown()...)
	return c, problems
}

func text(set func(*Config, string)) func(*Config, string) error {
	return func(c *Config, s string) error {
		set(c, s)
		return nil
	}
}

func number(set func(*Config, int)) func(*Config, string) error {
	return func(c *Config, s string) error {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil {
			return fmt.Errorf("it must be a whole number")
		}
		set(c, n)
		return nil
	}
}

func port(set func(*Config, int)) func(*Config, string) error {
	return func(c *Config, s string) error {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n < 1 || n > 65535 {
			return fmt.Errorf("it must be a port from 1 to 65535")
		}
		set(c, n)
		return nil
	}
}

func boolean(set func(*Config, bool)) func(*Config, string) error {
	return func(c *Config, s string) error {
		switch strings.ToLower(strings.TrimSpace(s)) {
		case "true", "t", "yes", "y", "on", "1":
			set(c, true)
		case "false", "f", "no", "n", "off", "0":
			set(c, false)
		default:
			return fmt.Errorf("it must be true or false")
		}
		return nil
	}
}

// lenient is for switches that anything but true turns off.
func lenient(set func(*Config, bool)) func(*Config, string) error {
	return func(c *Config, s string) error {
		set(c, strings.EqualFold(strings.TrimSpace(s), "true"))
		return nil
	}
}

func hostOf(address string) string {
	host, _, _ := net.SplitHostPort(address)
	return host
}
