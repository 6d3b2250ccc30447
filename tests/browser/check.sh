#!/usr/bin/env bash
# Opens reports in a headless Chromium and checks what only a browser can tell; see README.md.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

pictures=
if [ "${1-}" = --pictures ]; then
    pictures=$2
    mkdir -p "$pictures"
    shift 2
fi
if [ $# = 0 ]; then
    echo "usage: $0 [--pictures DIR] FILE.html..." >&2
    exit 2
fi

browser=${BROWSER-}
for name in chromium chromium-browser google-chrome chrome; do
    browser=${browser:-$(command -v "$name" || true)}
done
if [ -z "$browser" ]; then
    echo "browser check: skipped, there is no Chromium on the PATH"
    exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# A profile of its own, and no sandbox: containers seldom allow one, and the page is ours.
chromium() {
    timeout 120 "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars \
        --user-data-dir="$work/profile" "$@" 2>"$work/stderr"
}

failed=0
for file in "$@"; do
    # The probe listens before anything else runs, and looks when all is there.
    probed=$work/probed.html
    awk -v probe="$here/probe.js" '
        { print }
        /<head>/ { print "<script>"; while ((getline line < probe) > 0) print line; print "</script>" }
    ' "$file" >"$probed"
    # Blink numbers the preferred schemes: 0 dark, 1 light.
    for mode in "wide 1200,900 1" "narrow 500,844 1" "dark 1200,900 0"; do
        read -r name size scheme <<<"$mode"
        options=(--window-size="$size" --blink-settings=preferredColorScheme="$scheme")
        chromium "${options[@]}" --virtual-time-budget=5000 --dump-dom "file://$probed" >"$work/dom"
        outcome=$(grep -o 'data-outcome="[^"]*"' "$work/dom" | head -n 1 || true)
        outcome=${outcome#data-outcome=\"}
        outcome=${outcome%\"}
        case $outcome in
            ok*) echo "ok      $file, $name: ${outcome#ok: }" ;;
            *)
                echo "FAILED  $file, $name: ${outcome:-the page did not finish}"
                failed=1
                ;;
        esac
        if [ -n "$pictures" ]; then
            stem=$(basename "$(dirname "$(realpath "$file")")")-$(basename "$file" .html)
            chromium "${options[@]}" --screenshot="$pictures/$stem-$name.png" "file://$(realpath "$file")" >/dev/null
        fi
    done
done
exit $failed
