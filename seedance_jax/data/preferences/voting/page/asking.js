// Talks to the server of a page.

// The answer to a request, a POST if there is a body. An error says what the server says, is
// "stale" if the page is out of date, or says `lost` if there is no answer.
export async function call(path, body, lost = "") {
  const options = body && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error(`The server does not answer. ${lost}`.trim());
  }
  if (response.ok) return response;
  const { error } = await response.json().catch(() => ({ error: response.statusText }));
  throw Object.assign(new Error(error), { stale: response.status === 409 });
}
