#!/bin/sh
# A consumer in ten lines: each pack becomes a file of a folder, whole or not at all, before it is acknowledged.
#   sink=exec   exec_command=scripts/consumers/pack_files.sh FOLDER
while IFS= read -r pack; do
    epoch=${pack#*\"epoch\":} sequence=${pack#*\"sequence\":} bytes=${pack#*\"bytes\":}
    epoch=${epoch%%,*} sequence=${sequence%%,*} bytes=${bytes%%,*}
    part=$1/$FOUNTAIN_SHARD.part
    file=$1/$(printf '%s-%08d-%08d.jsonl' "$FOUNTAIN_SHARD" "$epoch" "$sequence")
    head -c "$bytes" >"$part" && [ "$(wc -c <"$part")" -eq "$bytes" ] && sync "$part" || exit 1
    mv "$part" "$file" && sync "$1" && echo "ack $epoch $sequence" || exit 1
done
