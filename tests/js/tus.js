// Uploads a file with tus-js-client, for the tests of resumable uploads.
//
//   node tus.js <endpoint> <file> <options as JSON>
//
// Prints one JSON line for each thing that happens: {"url"}, {"retry": status}, {"error": message}, {"success": id}.
"use strict";

const fs = require("fs");
const { PassThrough } = require("stream");
const tus = require("tus-js-client");

const [, , endpoint, path, options] = process.argv;
const given = JSON.parse(options);
const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

let id = null;
const file = fs.createReadStream(path);
// Of a file the client knows the length; what passes through a pipe it cannot know beforehand.
const source = given.uploadLengthDeferred ? file.pipe(new PassThrough()) : file;
const upload = new tus.Upload(source, {
  endpoint,
  ...given,
  onUploadUrlAvailable: () => say({ url: upload.url }),
  onAfterResponse: (_, response) => {
    id = response.getHeader("Docsave-File-Id") || id;
  },
  onShouldRetry: (error) => {
    say({ retry: error.originalResponse ? error.originalResponse.getStatus() : null });
    return true;
  },
  onError: (error) => say({ error: error.message }),
  onSuccess: () => say({ success: id }),
});
upload.start();
