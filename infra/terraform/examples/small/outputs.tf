output "connect" {
  description = "What clients connect to."
  value       = module.sponge.connect
}

output "repository" {
  description = "Where to push the image to, tagged with the release."
  value       = module.sponge.repository
}

output "dashboard" {
  description = "Name of the CloudWatch dashboard."
  value       = module.sponge.dashboard
}

output "archive" {
  description = "Where the audit archive is."
  value       = module.sponge.archive
}

output "migrate" {
  description = "What `aws ecs run-task` needs to run a long migration by hand."
  value       = module.sponge.migrate
}
