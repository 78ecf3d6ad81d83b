package onnx

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// LibraryVariable names the environment variable that says where ONNX Runtime's shared library is.
const LibraryVariable = "FAIRLEAD_ONNXRUNTIME"

// oldest is the oldest release of ONNX Runtime that the binding can use.
const oldest = "1.24"

// remedy ends every message about the library.
const remedy = "`make onnxruntime` fetches it; or install ONNX Runtime " + oldest + " or later and name its file with --onnxruntime-library or " + LibraryVariable

// LibraryError says in one line why ONNX Runtime can't be used, and what to do.
type LibraryError struct{ Cause string }

func (e *LibraryError) Error() string { return e.Cause }

// FindLibrary gives the path of ONNX Runtime's shared library. What is asked for, a file or the folder that has it, must be there;
// otherwise it is looked for beside the program, then where systems keep libraries. It fails with a *LibraryError.
func FindLibrary(asked, program string) (string, error) {
	if asked != "" {
		found := inFolder(asked)
		if found == "" && isFile(asked) {
			found = asked
		}
		if found == "" {
			return "", &LibraryError{fmt.Sprintf("there is no ONNX Runtime library at %s; %s", asked, remedy)}
		}
		return filepath.Abs(found)
	}
	folders := libraryFolders(program)
	for _, folder := range folders {
		if found := inFolder(folder); found != "" {
			return found, nil
		}
	}
	return "", &LibraryError{fmt.Sprintf("ONNX Runtime's shared library is in none of %s; %s", strings.Join(folders, ", "), remedy)}
}

func libraryFolders(program string) []string {
	var folders []string
	if program != "" {
		beside := filepath.Dir(program)
		folders = append(folders, filepath.Join(beside, "lib"), beside, filepath.Join(filepath.Dir(beside), "lib"))
	}
	architecture := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[runtime.GOARCH]
	if architecture != "" {
		folders = append(folders, "/usr/local/lib/"+architecture, "/usr/lib/"+architecture)
	}
	return append(folders, "/usr/local/lib", "/usr/lib64", "/usr/lib", "/opt/onnxruntime/lib")
}

// inFolder gives the library in a folder, or nothing.
func inFolder(folder string) string {
	for _, name := range []string{"libonnxruntime.so.1", "libonnxruntime.so", "onnxruntime.so", "libonnxruntime.dylib"} {
		if path := filepath.Join(folder, name); isFile(path) {
			return path
		}
	}
	// A copy of a release archive has the file under its full version only.
	if found, err := filepath.Glob(filepath.Join(folder, "libonnxruntime.so.1.*")); err == nil && len(found) > 0 {
		return found[len(found)-1]
	}
	return ""
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}
